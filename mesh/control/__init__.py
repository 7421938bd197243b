"""The control plane: what Consul knows becomes xDS, for the gRPC clients of the mesh and for the Envoy edge alike.

snapshot      what Consul knows at one moment
watch         Consul -> snapshot
splits        of it, how calls are divided between versions
kept          the last snapshot on disk
view          kind and zone of a subscriber
resources     snapshot and view -> xDS resources (clusters, packing)
ads           xDS resources -> subscribers, each with its subscriptions (state of the world, aggregated)
inspection    all of it, for operators
"""
