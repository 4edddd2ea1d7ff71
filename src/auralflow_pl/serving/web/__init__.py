"""The service over HTTP: endpoints, forms, responses, connections.

With `demo`, the only folder that imports FastAPI, Starlette, uvicorn and the Prometheus client.
Start with `app.build_service_app`; `server` runs it.
"""
