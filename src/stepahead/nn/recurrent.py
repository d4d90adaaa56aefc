"""RNN, LSTM and GRU with torch.nn's signatures, parameters and results.  (input, state) -> (outputs, state)."""

import torch


class RNN(torch.nn.RNN):
    """torch.nn.RNN (Elman 1990; tanh or relu)."""


class LSTM(torch.nn.LSTM):
    """torch.nn.LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000)."""


class GRU(torch.nn.GRU):
    """torch.nn.GRU (Cho et al. 2014; reset applied after the product)."""
