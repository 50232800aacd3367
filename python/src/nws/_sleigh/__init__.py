"""What `nws.sleigh` is made of. Private: use `nws.sleigh`."""
