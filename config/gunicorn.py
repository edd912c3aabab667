"""How gunicorn serves: few processes, many threads, connections kept."""

import os

# LARDER_WORKERS and LARDER_THREADS: web processes, and threads in each. A thread that waits for an upstream waits
# without holding up the others, so there are more of them than clients usually open connections.
workers = int(os.environ.get("LARDER_WORKERS", "2"))
threads = int(os.environ.get("LARDER_THREADS", "48"))
worker_class = "gthread"
# Clients keep connections for the length of an install.
keepalive = 75
# A publish of 512 MB over a slow line takes a while; gthread's heartbeat does not depend on requests.
timeout = 120
graceful_timeout = 10
limit_request_line = 8190
limit_request_field_size = 16380
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108 (heartbeats must not wait for a disk)
accesslog = None
loglevel = os.environ.get("LARDER_LOG_LEVEL", "warning").lower()
proc_name = "larder"
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
