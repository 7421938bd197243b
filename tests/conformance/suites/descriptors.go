// Writes the descriptors of the gRPC project's interoperability tests, as its own module carries them, to standard
// output: there is a `.proto` of them nowhere in it. The files are named `interop/...`, as in Python `grpc` is taken.
package main

import (
	"log"
	"os"
	"strings"

	testing "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

func main() {
	set, seen := &descriptorpb.FileDescriptorSet{}, map[string]bool{}
	var add func(file protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		described := protodesc.ToFileDescriptorProto(file)
		described.Name = proto.String(renamed(described.GetName()))
		for i, name := range described.Dependency {
			described.Dependency[i] = renamed(name)
		}
		set.File = append(set.File, described)
	}
	add(testing.File_grpc_testing_test_proto)
	written, err := proto.Marshal(set)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := os.Stdout.Write(written); err != nil {
		log.Fatal(err)
	}
}

func renamed(path string) string {
	return strings.Replace(path, "grpc/testing/", "interop/", 1)
}
