"""A second program for auditors: the findings again, from the departments' tables and the law's text alone."""
