"""`make check-gpu`: whether everything that trains and answers does so on this machine's GPU as it does on its CPU."""
