"""As much of an API server as Helm's `lookup` asks: what kinds there are, and the ConfigMaps of a namespace."""

import contextlib
import http.server
import json
import threading

import helm_python

KINDS = {
    "kind": "APIResourceList",
    "groupVersion": "v1",
    "resources": [{"name": "configmaps", "singularName": "configmap", "namespaced": True, "kind": "ConfigMap", "verbs": ["get", "list"]}],
}


@contextlib.contextmanager
def cluster(namespace, config_maps):
    """A connection to a cluster that has these ConfigMaps."""
    answers = {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
        "/api/v1": KINDS,
        f"/api/v1/namespaces/{namespace}/configmaps": {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {}, "items": config_maps},
        "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
    }

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answer = answers.get(self.path.split("?")[0])
            body = json.dumps(answer or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404})
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    try:
        with helm_python.Config(kubeconfig_content=json.dumps(kubeconfig), namespace=namespace) as config:
            yield config
    finally:
        server.shutdown()
