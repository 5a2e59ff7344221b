"""The budget of API calls: 1000 in 5 minutes for each token, shared by all that use it on this machine."""
