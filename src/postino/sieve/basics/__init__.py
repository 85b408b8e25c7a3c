"""What every script may use without require, and fileinto and envelope, which RFC 5228 defines with it."""
