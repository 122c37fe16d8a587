"""Programs that run elsewhere than Cloudsite: on its hosts. They import nothing of ours."""
