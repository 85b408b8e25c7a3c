require ["include"];
include "files";
include :global "files";
