"""Loads the configuration from a YAML file, the environment and secret files.

What is right is proxy.config's to say; here is where it stands.
"""

from proxy.config_file.environment import CONFIG_VARIABLE, variable
from proxy.config_file.loading import FILE_NAME, Loaded, find_file, load

__all__ = ["CONFIG_VARIABLE", "FILE_NAME", "Loaded", "find_file", "load", "variable"]
