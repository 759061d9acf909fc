"""`make bench`: how fast members train and facts are asked, beside the usual libraries and the machine's limit."""
