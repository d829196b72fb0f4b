"""The site of `docs`: its pages, a reference that is generated from the tables, and where each link leads."""
