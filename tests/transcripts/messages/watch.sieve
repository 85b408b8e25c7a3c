require ["imapsieve", "environment", "imap4flags", "variables", "fileinto", "copy", "mailbox"];
if environment :matches "imap.cause" "*" { set "cause" "${1}"; }
if environment :matches "imap.changedflags" "*" { set "flags" "${1}"; }
if environment :matches "imap.mailbox" "*" { set "mailbox" "${1}"; }
if environment :matches "imap.user" "*" { set "who" "${1}"; }
addflag "${cause}";
fileinto :copy :create "By/${cause} in ${mailbox} by ${who} (${flags})";
