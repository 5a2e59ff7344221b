"""Between the generated functions and the sockets: the token where it belongs, retries, errors that are raised."""
