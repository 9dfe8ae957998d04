"""Where the gate runs: GitHub, GitLab, another CI or a laptop."""
