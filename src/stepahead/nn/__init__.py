"""Recurrent layers for training: torch.nn's classes on the native kernel.  Importing this imports torch."""

from stepahead.nn.recurrent import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN"]
