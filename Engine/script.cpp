// TorchScript modules: what users bring as files.
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>

#include "handles.h"

namespace scorefield {
namespace {

torch::jit::Module &module(ct_script handle) { return *reinterpret_cast<torch::jit::Module *>(handle); }

}  // namespace

ct_status script_load(const char *path, const char *device, ct_script *out) {
  return guarded([&] {
    auto module = torch::jit::load(path, c10::Device(device));
    module.eval();
    // Their weights are constants here.
    for (at::Tensor parameter : module.parameters()) parameter.set_requires_grad(false);
    *out = reinterpret_cast<ct_script>(new torch::jit::Module(std::move(module)));
  });
}

void script_release(ct_script handle) { delete &module(handle); }

ct_status script_convert(ct_script handle, int32_t type) {
  return guarded([&] { module(handle).to(static_cast<at::ScalarType>(type)); });
}

ct_status script_call(ct_script handle, const ct_tensor *inputs, int32_t count, ct_tensor *out) {
  return guarded([&] {
    follow_threads();
    // What the executor specialises to the first calls does not know of the layers of later ones.
    torch::jit::GraphOptimizerEnabledGuard plain(false);
    std::vector<c10::IValue> values;
    for (int32_t index = 0; index < count; ++index) values.emplace_back(borrow(inputs[index]));
    auto result = module(handle).forward(std::move(values));
    TORCH_CHECK(result.isTensor(), "it answers with ", result.tagKind(), ", not with a tensor");
    *out = yield(result.toTensor());
  });
}

}  // namespace scorefield
