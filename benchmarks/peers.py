"""What the scripts that run other packages share: PyTorch Lightning on a CPU, without a word and without files."""

QUIET = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "logger": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}
