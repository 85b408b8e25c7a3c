require ["include", "variables"];
global "shared";
set "shared" "set within";
set "private" "within";
