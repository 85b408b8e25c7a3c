require ["fileinto", "include"];
fileinto "before";
return;
fileinto "after";
