"""Provisioning: from a bare machine to one that has an engine, images and host rule."""
