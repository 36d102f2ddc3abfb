"""What `studio/render.py` draws with: paint, poses, looks, bodies, heads, places and things.

A new place is a function of (rng, image, horizon) added to PLACES in place.py; a new thing that may stand before
people goes to THINGS in things.py; a new pose to COMMON or RARE in pose.py.
"""
