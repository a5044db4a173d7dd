"""The programs that set this project up, build, check and show it."""
