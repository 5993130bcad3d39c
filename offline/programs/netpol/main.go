// Command netpol enforces NetworkPolicies on a node. The node's rules (offline/kubernetes/node.py) queue the first packet
// of each connection of a pod, about which the controller of kube-network-policies decides. They drop all packets of
// pods that this program has not told them, so that a pod has no network before its policies are known.
package main

import (
	"context"
	"flag"
	"net"
	"time"

	"github.com/google/nftables"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how the API server is reached")
	node := flag.String("node", "", "the name of this node")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	must(err)
	client, err := kubernetes.NewForConfig(config)
	must(err)
	ctx := context.Background()
	awaitRights(ctx, client)

	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods()
	controller, err := networkpolicy.NewController(
		client, factory.Networking().V1().NetworkPolicies(), factory.Core().V1().Namespaces(), pods, nil, nil, nil, nil,
		networkpolicy.Config{NodeName: *node},
	)
	must(err)
	known := openKnown(*node)
	_, err = pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    known.update,
		UpdateFunc: func(_, pod any) { known.update(pod) },
		DeleteFunc: known.remove,
	})
	must(err)
	factory.Start(ctx.Done())
	must(controller.Run(ctx))
}

// awaitRights returns once the API server answers: the backoff of informers would take longer.
func awaitRights(ctx context.Context, client kubernetes.Interface) {
	for {
		if _, err := client.NetworkingV1().NetworkPolicies("").List(ctx, meta.ListOptions{Limit: 1}); err == nil {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// knownPods is the set of addresses of this node's pods whose packets may reach the queue.
type knownPods struct {
	node  string
	rules *nftables.Conn
	set   *nftables.Set
	held  map[string]bool
}

func openKnown(node string) *knownPods {
	rules, err := nftables.New()
	must(err)
	set, err := rules.GetSetByName(&nftables.Table{Name: "policies", Family: nftables.TableFamilyIPv4}, "known")
	must(err)
	rules.FlushSet(set)
	must(rules.Flush())
	return &knownPods{node, rules, set, map[string]bool{}}
}

func (known *knownPods) update(object any) {
	pod := object.(*core.Pod)
	if ended := pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed; ended {
		known.remove(pod)
	} else if pod.Spec.NodeName == known.node && !pod.Spec.HostNetwork && !known.held[pod.Status.PodIP] {
		known.change(pod.Status.PodIP, true)
	}
}

func (known *knownPods) remove(object any) {
	if last, lost := object.(cache.DeletedFinalStateUnknown); lost {
		object = last.Obj
	}
	if pod, ok := object.(*core.Pod); ok && pod.Spec.NodeName == known.node && known.held[pod.Status.PodIP] {
		known.change(pod.Status.PodIP, false)
	}
}

func (known *knownPods) change(address string, holds bool) {
	key := net.ParseIP(address).To4()
	if key == nil {
		return
	}
	apply := known.rules.SetAddElements
	if !holds {
		apply = known.rules.SetDeleteElements
	}
	must(apply(known.set, []nftables.SetElement{{Key: key}}))
	must(known.rules.Flush())
	known.held[address] = holds
}

func must(err error) {
	if err != nil {
		klog.Fatal(err)
	}
}
