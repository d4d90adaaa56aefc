"""The recurrent cells: what each is called here and in the kernel, and how many gates its weights hold."""

GATES = {"rnn": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}
KERNEL_NAMES = {"rnn": "rnn_tanh", "rnn_relu": "rnn_relu", "lstm": "lstm", "gru": "gru"}  # torch's modes, too
KERNEL_GATES = {KERNEL_NAMES[cell]: gates for cell, gates in GATES.items()}
CODES = {name: code for code, name in enumerate(KERNEL_NAMES.values())}  # the kernel's numbers, as in native/kernel.h
