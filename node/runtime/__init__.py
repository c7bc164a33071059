"""Carries out effects, watches due times, keeps services running. See the README beside this file."""
