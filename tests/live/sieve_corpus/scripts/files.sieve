require ["fileinto"];
fileinto "included";
