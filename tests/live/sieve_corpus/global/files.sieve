require ["fileinto"];
fileinto "included globally";
