"""What a run came to, as a page to keep: read from its folder, drawn, and written as one HTML file and a summary.

`facts` reads, `clusters` and `bias` look for patterns, `figures` draws, `page` writes.
"""
