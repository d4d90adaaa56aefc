"""The panel recipe in pieces: seasons, windows by their own level, the linear skip, learning, forecasting.  No
torch here.
"""
