require ["fileinto"];
fileinto "before the stop";
stop;
