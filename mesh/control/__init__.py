"""The control plane: what Consul knows becomes xDS, for the gRPC clients of the mesh and for the Envoy edge alike.

watch      Consul -> Snapshot
resources  Snapshot -> xDS resources
ads        xDS resources -> subscribers (state of the world, aggregated)
"""
