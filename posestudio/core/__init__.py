"""Pure functions on batched tensors: numbers in, numbers out.

Letters: B images in a batch, V views of one image, S students, K keypoints, N instances, H and W height and width of
a heatmap. Points are (x, y); sizes are (height, width). A pixel's centre has whole coordinates: the first is at 0.0.
So a mirror is W - 1 - x and a resize by s is (x + 0.5) * s - 0.5; torch's align_corners is always False.
Three frames: _image (the uploaded file), _crop (what the network sees), _map (one heatmap cell is `stride` crop
pixels). A name that holds coordinates ends in its frame: xy_image, xy_crop, xy_map. Boxes say their order: box_xywh.
An affine matrix is (..., 2, 3) and moves points from its source frame to its destination frame.
Images inside core are float, normalized so that the ImageNet mean is 0 (see models/pose_net.py).

This room knows no files, clock, device choice, configuration or global seed: randomness comes in as a torch.Generator.
"""
