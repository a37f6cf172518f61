"""The operators' console: what needs a person, and the forms by which a named person decides it."""
