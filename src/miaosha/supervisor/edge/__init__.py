"""The edge: nginx in front of the roles, its configuration, and the switch for closed sales.

nginx.conf beside this file is the template of every edge, that of one machine and that of
several. The other modules render its parts; the switch changes without a reload (decision 14).

Reading order: `nginx_config`, `upstreams`, `request_bodies`, `problem_pages`, `switch`;
`standalone` runs an edge by itself.
"""
