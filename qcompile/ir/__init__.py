"""The four graphs: model (real tensors), integer (the golden model), datapath, hardware (streams)."""
