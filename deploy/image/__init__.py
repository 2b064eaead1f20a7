"""What deploy/Dockerfile is made with."""
