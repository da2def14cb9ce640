"""What people and pipelines read after a build."""
