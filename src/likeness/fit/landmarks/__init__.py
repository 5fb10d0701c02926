"""Codes and cameras from landmarks alone, many photos at once; where landmarks lie on the model."""
