"""Pieces of wire formats that several backends share. A backend takes what it needs; none of this knows a backend."""
