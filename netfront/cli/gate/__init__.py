"""What `netfront gateway` has beside the other commands: its flags, what they say of a route, what stands for it."""
