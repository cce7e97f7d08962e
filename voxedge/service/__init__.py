"""One model file behind HTTP: ``voxedge serve``.

``app`` has the routes, ``engine`` what they ask, ``batching`` shares inference between requests,
``guard`` decides who may ask and how much, ``live`` names a stream, ``metrics`` counts.
"""
