"""Whole calls in virtual time, on a virtual network, from one seed."""
