"""How the stack becomes real on a Kubernetes cluster. Only stacks on one import it: the SDK takes seconds to load."""
