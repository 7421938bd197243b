// Calls one method of a service of the mesh as another team's Go program would: found by xDS, over mutual TLS.
//
//	client -contracts contracts.binpb -calls 20 xds:///sales retail.sales.v1.SalesService/ListSales '{"pageSize": 1}'
//
// For each call it prints a JSON object: who answered, and the answer or the failure's code and message. GRPC_XDS_BOOTSTRAP
// names the bootstrap, TOKEN holds the access token. The messages are made from the descriptor set at run time; a program
// of its own would rather have protoc-gen-go make them.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/xds"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	_ "google.golang.org/grpc/xds" // brings the scheme xds:///
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

type outcome struct {
	Peer    string          `json:"peer,omitempty"`
	Answer  json.RawMessage `json:"answer,omitempty"`
	Code    string          `json:"code"`
	Message string          `json:"message,omitempty"`
}

func main() {
	contracts := flag.String("contracts", "", "file with the descriptor set")
	calls := flag.Int("calls", 1, "how many calls, one after the other")
	timeout := flag.Duration("timeout", 10*time.Second, "of each call")
	flag.Parse()
	log.SetFlags(0)
	if flag.NArg() != 3 {
		log.Fatal("usage: client [flags] xds:///SERVICE package.Service/Method REQUEST-AS-JSON")
	}
	target, path := flag.Arg(0), "/"+flag.Arg(1)
	method := find(*contracts, flag.Arg(1))
	request := dynamicpb.NewMessage(method.Input())
	must(protojson.Unmarshal([]byte(flag.Arg(2)), request))

	// The fallback is for a cluster without TLS: it checks certificates too, so that no call ever goes in clear.
	mutual, err := xds.NewClientCredentials(xds.ClientOptions{FallbackCreds: credentials.NewTLS(nil)})
	must(err)
	channel, err := grpc.NewClient(target, grpc.WithTransportCredentials(mutual))
	must(err)
	defer channel.Close()

	ctx := context.Background()
	if token := os.Getenv("TOKEN"); token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	for range *calls {
		must(json.NewEncoder(os.Stdout).Encode(call(ctx, channel, path, request, method.Output(), *timeout)))
	}
}

func call(
	ctx context.Context, channel *grpc.ClientConn, path string, request proto.Message,
	output protoreflect.MessageDescriptor, timeout time.Duration,
) outcome {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var from peer.Peer
	reply := dynamicpb.NewMessage(output)
	failure := channel.Invoke(ctx, path, request, reply, grpc.Peer(&from))
	made := outcome{Code: status.Code(failure).String(), Message: status.Convert(failure).Message()}
	if from.Addr != nil {
		made.Peer = from.Addr.String()
	}
	if failure == nil {
		answer, err := protojson.Marshal(reply)
		must(err)
		made.Answer = answer
	}
	return made
}

// find reads a descriptor set and looks a unary method up in it, by package.Service/Method.
func find(file, name string) protoreflect.MethodDescriptor {
	content, err := os.ReadFile(file)
	must(err)
	var set descriptorpb.FileDescriptorSet
	must(proto.Unmarshal(content, &set))
	files, err := protodesc.NewFiles(&set)
	must(err)
	found, err := files.FindDescriptorByName(protoreflect.FullName(strings.Replace(name, "/", ".", 1)))
	must(err)
	return found.(protoreflect.MethodDescriptor)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
