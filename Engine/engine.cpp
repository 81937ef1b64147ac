// The plug: libtorch behind the C table of Sources/CTorch/engine.h. See Documentation/Engine.md for why it is shaped so.
#include <ATen/Context.h>
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/functorch/BatchedTensorImpl.h>
#include <ATen/functorch/DynamicLayer.h>
#include <ATen/functorch/TensorWrapper.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/forward_grad.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/version.h>

#include <dlfcn.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <atomic>
#include <cstring>
#include <fstream>
#include <mutex>
#include <string>

#include "handles.h"

namespace ft = at::functorch;
using at::Tensor;

using namespace scorefield;

namespace {

thread_local std::string failure;

/// libtorch keeps the number of threads per thread, and one that has computed before does not hear of a change.
std::atomic<int32_t> wanted_threads{0};

/// For every tape entered on this thread, whether operations were recorded before. More than one where recording was
/// switched off between.
thread_local std::vector<bool> tapes;

/// Outside of all derivatives nothing is recorded, not even what comes of a tensor that left one by a captured variable.
bool outside() { return tapes.empty() && ft::getDynamicLayerStack().empty(); }

}  // namespace

namespace scorefield {

ct_status fail(const char *message) {
  failure = message;
  return CT_FAILED;
}

void follow_threads() {
  thread_local int32_t followed = 0;
  auto wanted = wanted_threads.load(std::memory_order_relaxed);
  if (wanted == followed) return;
  at::set_num_threads(wanted);
  followed = wanted;
}

bool records() { return at::GradMode::is_enabled() && !outside(); }

}  // namespace scorefield

namespace {

// ----------------------------------------------------------------------------------------------------------- handles

at::Generator &generator(ct_generator handle) { return *reinterpret_cast<at::Generator *>(handle); }

/// An operator's handle with what calling it needs, kept for the life of the process.
struct Operator {
  c10::OperatorHandle handle;
  const c10::FunctionSchema &schema;
};

const Operator &resolve(ct_operator handle) { return *reinterpret_cast<const Operator *>(handle); }

static_assert(CT_UINT8 == int(at::kByte) && CT_INT8 == int(at::kChar) && CT_INT16 == int(at::kShort));
static_assert(CT_INT32 == int(at::kInt) && CT_INT64 == int(at::kLong) && CT_FLOAT16 == int(at::kHalf));
static_assert(CT_FLOAT32 == int(at::kFloat) && CT_FLOAT64 == int(at::kDouble) && CT_BOOL == int(at::kBool));
static_assert(CT_COMPLEX64 == int(at::kComplexFloat) && CT_COMPLEX128 == int(at::kComplexDouble));
static_assert(CT_BFLOAT16 == int(at::kBFloat16) && CT_FLOAT8_E5M2 == int(at::kFloat8_e5m2));
static_assert(CT_FLOAT8_E4M3 == int(at::kFloat8_e4m3fn) && CT_UINT16 == int(at::kUInt16));
static_assert(CT_UINT32 == int(at::kUInt32) && CT_UINT64 == int(at::kUInt64));
static_assert(CT_FLOAT8_E8M0 == int(at::kFloat8_e8m0fnu) && CT_FLOAT4_E2M1 == int(at::kFloat4_e2m1fn_x2));

// --------------------------------------------------------------------------------------------------------- operators

ct_status find(const char *name, const char *overload, ct_operator *out) {
  return guarded([&] {
    auto handle = c10::Dispatcher::singleton().findSchemaOrThrow(name, overload);
    // Never freed: there is one per operator in use, and static values refer to it.
    *out = reinterpret_cast<ct_operator>(new Operator{handle, handle.schema()});
  });
}

bool wants(const c10::Type &type, c10::TypeKind kind) {
  if (type.kind() == kind) return true;
  auto optional = type.castRaw<c10::OptionalType>();
  return optional && optional->getElementType()->kind() == kind;
}

c10::IValue argument(const ct_value &value, const c10::Argument &formal) {
  switch (value.tag) {
    case CT_DEFAULT:
      TORCH_CHECK(formal.default_value(), "argument '", formal.name(), "' has no default");
      return *formal.default_value();
    case CT_NONE:
      return {};
    case CT_TENSOR:
      return borrow(value.as.tensor);
    case CT_INT:
      if (wants(*formal.type(), c10::TypeKind::FloatType)) return double(value.as.integer);
      return value.as.integer;
    case CT_DOUBLE:
      return value.as.number;
    case CT_FLAG:
      return value.as.flag;
    case CT_STRING:
      if (wants(*formal.type(), c10::TypeKind::DeviceObjType)) return c10::Device(value.as.string);
      return std::string(value.as.string);
    case CT_GENERATOR:
      return generator(value.as.generator);
    case CT_INTS:
      return c10::List<int64_t>(c10::ArrayRef<int64_t>(value.as.integers, value.count));
    case CT_DOUBLES:
      return c10::List<double>(c10::ArrayRef<double>(value.as.numbers, value.count));
    case CT_FLAGS:
      return c10::List<bool>(c10::ArrayRef<bool>(value.as.flags, value.count));
    case CT_TENSORS: {
      auto list = formal.type()->castRaw<c10::ListType>();
      if (list && list->getElementType()->kind() == c10::TypeKind::OptionalType) {
        c10::List<std::optional<Tensor>> tensors;
        tensors.reserve(value.count);
        for (int32_t i = 0; i < value.count; i++) {
          auto handle = value.as.tensors[i];
          tensors.push_back(handle ? std::optional<Tensor>(borrow(handle)) : std::nullopt);
        }
        return tensors;
      }
      c10::List<Tensor> tensors;
      tensors.reserve(value.count);
      for (int32_t i = 0; i < value.count; i++) tensors.push_back(borrow(value.as.tensors[i]));
      return tensors;
    }
    default:
      TORCH_CHECK(false, "argument '", formal.name(), "' has the unknown tag ", value.tag);
  }
}

ct_status call(ct_operator op, const ct_value *arguments, int32_t count, ct_value *results, int32_t capacity,
               int32_t *result_count) {
  return guarded([&] {
    follow_threads();
    const auto &target = resolve(op);
    const auto &formals = target.schema.arguments();
    TORCH_CHECK(count <= int32_t(formals.size()), target.schema.name(), " takes ", formals.size(), " arguments, got ",
                count);
    torch::jit::Stack stack;
    stack.reserve(formals.size());
    for (int32_t i = 0; i < count; i++) stack.push_back(argument(arguments[i], formals[i]));
    for (size_t i = count; i < formals.size(); i++) stack.push_back(argument({CT_DEFAULT, 0, {}}, formals[i]));
    {
      at::AutoGradMode recording(records());
      target.handle.callBoxed(&stack);
    }

    int32_t used = 0;
    auto next = [&]() -> ct_value & {
      TORCH_CHECK(used < capacity, target.schema.name(), " has more than ", capacity, " results");
      results[used].count = 1;
      return results[used++];
    };
    auto put = [&](Tensor tensor) {
      auto &slot = next();
      slot.tag = tensor.defined() ? CT_TENSOR : CT_NONE;
      slot.as.tensor = tensor.defined() ? yield(std::move(tensor)) : nullptr;
    };
    try {
      for (auto &value : stack) {
        if (value.isTensor()) {
          put(std::move(value).toTensor());
        } else if (value.isTensorList()) {
          for (const auto &tensor : value.toTensorVector()) put(tensor);
        } else if (value.isInt()) {
          auto &slot = next();
          slot.tag = CT_INT, slot.as.integer = value.toInt();
        } else if (value.isDouble()) {
          auto &slot = next();
          slot.tag = CT_DOUBLE, slot.as.number = value.toDouble();
        } else if (value.isBool()) {
          auto &slot = next();
          slot.tag = CT_FLAG, slot.as.flag = value.toBool();
        } else {
          TORCH_CHECK(false, target.schema.name(), " has a result of type ", value.tagKind());
        }
      }
    } catch (...) {
      for (int32_t i = 0; i < used; i++)
        if (results[i].tag == CT_TENSOR) c10::raw::intrusive_ptr::decref(impl(results[i].as.tensor));
      throw;
    }
    *result_count = used;
  });
}

// ----------------------------------------------------------------------------------------------------------- tensors

void retain(ct_tensor handle) { c10::raw::intrusive_ptr::incref(impl(handle)); }
void release(ct_tensor handle) { c10::raw::intrusive_ptr::decref(impl(handle)); }

ct_status from_memory(const void *data, int32_t type, const int64_t *shape, int32_t rank, void (*release)(void *),
                      void *context, ct_tensor *out) {
  return guarded([&] {
    BelowLayers below;
    auto options = at::TensorOptions().dtype(at::ScalarType(type)).device(at::kCPU);
    auto lengths = c10::IntArrayRef(shape, rank);
    if (!release) {
      auto tensor = at::empty(lengths, options);
      if (tensor.nbytes()) std::memcpy(tensor.mutable_data_ptr(), data, tensor.nbytes());
      *out = yield(std::move(tensor));
      return;
    }
    *out = yield(at::from_blob(const_cast<void *>(data), lengths, [=](void *) { release(context); }, options));
  });
}

ct_status copy_out(ct_tensor handle, void *out, int64_t size) {
  return guarded([&] {
    auto inner = borrow(handle);
    while (auto wrapper = ft::maybeGetTensorWrapper(inner)) inner = wrapper->value();
    TORCH_CHECK(!ft::isBatchedTensor(inner), "the values of one element cannot be read inside vmap");
    BelowLayers below;
    auto tensor = inner.detach().resolve_conj().resolve_neg().to(at::kCPU).contiguous();
    TORCH_CHECK(int64_t(tensor.nbytes()) == size, "has ", tensor.nbytes(), " bytes, the destination ", size);
    if (size) std::memcpy(out, tensor.const_data_ptr(), size);
  });
}

int32_t rank(ct_tensor handle) { return int32_t(impl(handle)->dim()); }

void shape(ct_tensor handle, int64_t *out) {
  auto sizes = impl(handle)->sizes();
  std::copy(sizes.begin(), sizes.end(), out);
}

int32_t element_type(ct_tensor handle) { return int32_t(c10::typeMetaToScalarType(impl(handle)->dtype())); }

void device(ct_tensor handle, char *out, int32_t capacity) {
  auto name = impl(handle)->device().str();
  std::strncpy(out, name.c_str(), capacity - 1);
  out[capacity - 1] = 0;
}

bool is_unique(ct_tensor handle) {
  auto tensor = impl(handle);
  if (c10::raw::intrusive_ptr::use_count(tensor) != 1 || !tensor->has_storage() || !tensor->is_contiguous()) return false;
  // Memory without an allocator came from outside: a mapped file, or an array others hold.
  const auto &storage = tensor->storage();
  return storage.unique() && storage.allocator() && !tensor->requires_grad();
}

// -------------------------------------------------------------------------------------------------------- transforms

ct_status grad_enter(int64_t *level) {
  return guarded([&] {
    *level = ft::initAndPushDynamicLayer(ft::TransformType::Grad, {}, {}, at::GradMode::is_enabled());
    at::GradMode::set_enabled(true);
  });
}

ct_status jvp_enter(int64_t *level) {
  return guarded([&] {
    // The level of dual numbers is one for the process and a second is refused, so it is entered once and never left;
    // the layers below tell calls apart.
    static const auto dual_level = torch::autograd::ForwardADLevel::get_next_idx();
    TORCH_CHECK(dual_level == 0, "somebody else uses forward-mode differentiation in this process");
    *level = ft::initAndPushDynamicLayer(ft::TransformType::Jvp, {}, {}, {}, c10::AutogradState::get_tls_state().get_fw_grad_mode());
    c10::AutogradState::get_tls_state().set_fw_grad_mode(true);
  });
}

ct_status vmap_enter(int64_t batch, int64_t *level) {
  return guarded([&] {
    *level = ft::initAndPushDynamicLayer(ft::TransformType::Vmap, c10::SymInt(batch), ft::RandomnessType::Error);
  });
}

void layer_exit() {
  auto layer = ft::popDynamicLayerAndDeleteMetadata();
  if (layer.key() == ft::TransformType::Grad)
    at::GradMode::set_enabled(std::get<ft::GradInterpreterMeta>(layer.interpreter().meta()).prevGradMode_);
  if (layer.key() == ft::TransformType::Jvp)
    c10::AutogradState::get_tls_state().set_fw_grad_mode(
        std::get<ft::JvpInterpreterMeta>(layer.interpreter().meta()).prevFwdGradMode_);
}

ct_status grad_wrap(ct_tensor handle, int64_t level, ct_tensor *out) {
  return guarded([&] {
    auto tensor = ft::makeTensorWrapper(borrow(handle), level);
    tensor.set_requires_grad(true);
    *out = yield(std::move(tensor));
  });
}

ct_status layer_unwrap(ct_tensor handle, int64_t level, ct_tensor *out) {
  return guarded([&] {
    auto tensor = borrow(handle);
    auto wrapper = ft::maybeGetTensorWrapper(tensor);
    *out = yield(wrapper && wrapper->level() == level ? wrapper->value() : ft::unwrapIfDead(tensor));
  });
}

ct_status make_dual(ct_tensor primal, ct_tensor tangent, ct_tensor *out) {
  return guarded([&] { *out = yield(at::_make_dual(borrow(primal), borrow(tangent), 0)); });
}

ct_status unpack_dual(ct_tensor dual, ct_tensor *primal, ct_tensor *tangent) {
  return guarded([&] {
    auto [value, rate] = at::_unpack_dual(borrow(dual), 0);
    *primal = yield(std::move(value));
    *tangent = rate.defined() ? yield(std::move(rate)) : nullptr;
  });
}

ct_status batch_add(ct_tensor handle, int64_t dimension, int64_t level, ct_tensor *out) {
  return guarded([&] { *out = yield(ft::addBatchDim(borrow(handle), dimension, level)); });
}

ct_status batch_remove(ct_tensor handle, int64_t level, int64_t batch, int64_t dimension, ct_tensor *out) {
  return guarded([&] {
    auto tensor = borrow(handle);
    auto batched = ft::maybeGetBatchedImpl(tensor);
    if (batched && batched->level() == level) {
      *out = yield(batched->value().movedim(batched->bdim(), dimension));
      return;
    }
    // A result that does not depend on the batched input: the same for each.
    auto lengths = tensor.sizes().vec();
    lengths.insert(lengths.begin(), batch);
    *out = yield(tensor.expand(lengths).movedim(0, dimension));
  });
}

ct_status gradients(const ct_tensor *outputs, const ct_tensor *cotangents, int32_t output_count,
                    const ct_tensor *inputs, int32_t input_count, bool keep_graph, bool inside, ct_tensor *out) {
  return guarded([&] {
    follow_threads();
    // Recording the backward pass costs as much as the pass itself, and only a derivative further out can use it. Forward
    // mode needs it too: unrecorded, libtorch takes shortcuts that have no derivative, or silently none.
    int enclosing = int(tapes.size()) - (inside ? 1 : 0);
    for (const auto &layer : ft::getDynamicLayerStack()) enclosing += layer.key() != ft::TransformType::Vmap;
    const auto &state = c10::AutogradState::get_tls_state();
    bool recorded = enclosing > 0 && (state.get_grad_mode() || state.get_fw_grad_mode());
    torch::autograd::variable_list results, weights, variables;
    for (int32_t i = 0; i < output_count; i++) {
      auto tensor = borrow(outputs[i]);
      if (!tensor.requires_grad()) continue;
      results.push_back(tensor);
      weights.push_back(borrow(cotangents[i]));
    }
    for (int32_t i = 0; i < input_count; i++) variables.push_back(borrow(inputs[i]));
    if (results.empty()) {
      for (int32_t i = 0; i < input_count; i++) out[i] = nullptr;
      return;
    }
    auto found = torch::autograd::grad(results, variables, weights, keep_graph, recorded, /*allow_unused=*/true);
    for (int32_t i = 0; i < input_count; i++) out[i] = found[i].defined() ? yield(std::move(found[i])) : nullptr;
  });
}

int32_t set_recording(int32_t modes) {
  auto &state = c10::AutogradState::get_tls_state();
  auto before = (state.get_grad_mode() ? CT_REVERSE : 0) | (state.get_fw_grad_mode() ? CT_FORWARD : 0);
  state.set_grad_mode(modes & CT_REVERSE);
  state.set_fw_grad_mode(modes & CT_FORWARD);
  return before;
}

ct_status tape_enter(const ct_tensor *inputs, int32_t count, bool *entered, ct_tensor *variables) {
  return guarded([&] {
    *entered = ft::getDynamicLayerStack().empty() && (tapes.empty() || !at::GradMode::is_enabled());
    if (!*entered) return;
    for (int32_t i = 0; i < count; i++)
      variables[i] = yield(torch::autograd::make_variable(borrow(inputs[i]), /*requires_grad=*/true));
    tapes.push_back(at::GradMode::is_enabled());
    at::GradMode::set_enabled(true);
  });
}

ct_status tape_gradients(ct_tensor output, const ct_tensor *variables, int32_t count, ct_tensor *value,
                         ct_tensor *gradients) {
  return guarded([&] {
    auto result = borrow(output);
    std::fill_n(gradients, count, nullptr);
    if (result.requires_grad()) {
      torch::autograd::variable_list leaves;
      leaves.reserve(count);
      for (int32_t i = 0; i < count; i++) leaves.push_back(borrow(variables[i]));
      auto found = torch::autograd::grad({result}, leaves, {}, /*retain_graph=*/false, /*create_graph=*/false,
                                         /*allow_unused=*/true);
      for (int32_t i = 0; i < count; i++) gradients[i] = found[i].defined() ? yield(std::move(found[i])) : nullptr;
    }
    *value = yield(result.detach());
  });
}

void tape_exit() {
  at::GradMode::set_enabled(tapes.back());
  tapes.pop_back();
}

// ---------------------------------------------------------------------------------------------------- random numbers

ct_status generator_create(uint64_t seed, const char *device, ct_generator *out) {
  return guarded([&] {
    auto fresh = at::globalContext().defaultGenerator(c10::Device(device)).clone();
    std::lock_guard<std::mutex> lock(fresh.mutex());
    fresh.set_current_seed(seed);
    *out = reinterpret_cast<ct_generator>(new at::Generator(fresh));
  });
}

ct_status generator_copy(ct_generator handle, ct_generator *out) {
  return guarded([&] { *out = reinterpret_cast<ct_generator>(new at::Generator(generator(handle).clone())); });
}

void generator_release(ct_generator handle) { delete &generator(handle); }

ct_status generator_state(ct_generator handle, ct_tensor *out) {
  return guarded([&] { *out = yield(generator(handle).get_state()); });
}

ct_status generator_restore(ct_generator handle, ct_tensor state) {
  return guarded([&] { generator(handle).set_state(borrow(state)); });
}

ct_status generator_next(ct_generator handle, uint64_t *out) {
  return guarded([&] {
    auto &source = generator(handle);
    if (source.device().is_cpu()) {
      std::lock_guard<std::mutex> lock(source.mutex());
      *out = at::check_generator<at::CPUGeneratorImpl>(source)->random64();
      return;
    }
    BelowLayers below;
    auto bits = at::empty({1}, at::TensorOptions().dtype(at::kLong).device(source.device()));
    *out = uint64_t(bits.random_(std::numeric_limits<int64_t>::min(), std::nullopt, source).item<int64_t>());
  });
}

// ------------------------------------------------------------------------------------------------------- the machine

int32_t threads() {
  follow_threads();
  return at::get_num_threads();
}

void set_threads(int32_t count) {
  wanted_threads = count;
  follow_threads();
}

int32_t device_count(const char *kind) {
  if (std::strcmp(kind, "cpu") == 0) return 1;
  if (std::strcmp(kind, "cuda") == 0) return at::hasCUDA() ? int32_t(at::detail::getCUDAHooks().deviceCount()) : 0;
  return 0;
}

ct_status synchronize(const char *name) {
  return guarded([&] {
    c10::Device target(name);
    if (target.is_cpu()) return;
    c10::impl::VirtualGuardImpl(target.type()).synchronizeDevice(target.has_index() ? target.index() : 0);
  });
}

// ---------------------------------------------------------------------------------------------------- process groups

struct Group {
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
};

c10d::ProcessGroupGloo &group(ct_group handle) { return *reinterpret_cast<Group *>(handle)->gloo; }

c10::intrusive_ptr<c10d::Store> store(const std::string &rendezvous, int32_t rank, int32_t size,
                                      std::chrono::milliseconds timeout) {
  if (rendezvous.rfind("file:", 0) == 0) {
    auto files = c10::make_intrusive<c10d::FileStore>(rendezvous.substr(5), size);
    files->setTimeout(timeout);
    return files;
  }
  auto colon = rendezvous.rfind(':');
  TORCH_CHECK(rendezvous.rfind("tcp:", 0) == 0 && colon > 3, "a rendezvous is file:PATH or tcp:HOST:PORT, not '",
              rendezvous, "'");
  c10d::TCPStoreOptions options;
  options.port = uint16_t(std::stoi(rendezvous.substr(colon + 1)));
  options.isServer = rank == 0;
  options.numWorkers = size_t(size);
  options.timeout = timeout;
  return c10::make_intrusive<c10d::TCPStore>(rendezvous.substr(4, colon - 4), options);
}

ct_status group_create(const char *rendezvous, int32_t rank, int32_t size, int64_t timeout_ms, ct_group *out) {
  return guarded([&] {
    std::chrono::milliseconds timeout(timeout_ms);
    auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    options->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
    auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(store(rendezvous, rank, size, timeout), rank, size, options);
    // A member that has connected may leave while others still do, and breaks them off.
    gloo->barrier()->wait();
    *out = reinterpret_cast<ct_group>(new Group{gloo});
  });
}

void group_release(ct_group handle) { delete reinterpret_cast<Group *>(handle); }

/// A private copy for a collective to write into.
Tensor buffer(ct_tensor handle) { return borrow(handle).detach().contiguous().clone(); }

ct_status group_reduce(ct_group handle, ct_tensor tensor, int32_t operation, ct_tensor *out) {
  return guarded([&] {
    using c10d::ReduceOp;
    constexpr ReduceOp::RedOpType operations[] = {ReduceOp::SUM, ReduceOp::PRODUCT, ReduceOp::MIN, ReduceOp::MAX};
    std::vector<Tensor> tensors{buffer(tensor)};
    c10d::AllreduceOptions options;
    options.reduceOp = operations[operation & 3];
    group(handle).allreduce(tensors, options)->wait();
    *out = yield(tensors[0]);
  });
}

ct_status group_broadcast(ct_group handle, ct_tensor tensor, int32_t root, ct_tensor *out) {
  return guarded([&] {
    std::vector<Tensor> tensors{buffer(tensor)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    group(handle).broadcast(tensors, options)->wait();
    *out = yield(tensors[0]);
  });
}

ct_status group_gather(ct_group handle, ct_tensor tensor, ct_tensor *out) {
  return guarded([&] {
    std::vector<Tensor> inputs{buffer(tensor)};
    std::vector<std::vector<Tensor>> outputs(1);
    for (int i = 0; i < group(handle).getSize(); i++) outputs[0].push_back(at::empty_like(inputs[0]));
    group(handle).allgather(outputs, inputs)->wait();
    for (size_t i = 0; i < outputs[0].size(); i++) out[i] = yield(outputs[0][i]);
  });
}

ct_status group_barrier(ct_group handle) {
  return guarded([&] { group(handle).barrier()->wait(); });
}

// ---------------------------------------------------------------------------------------------------------- the table

/// The version written beside the libtorch that is loaded: compiling against one and running over another does not
/// fail, it crashes later and without a word.
std::string found_version() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void *>(&at::get_num_threads), &info) || !info.dli_fname) return "unknown";
  std::string folder(info.dli_fname);
  folder.erase(folder.find_last_of('/') + 1);
  std::string line;
  for (std::ifstream file(folder + "../version.py"); std::getline(file, line);) {  // Python's torch
    if (line.rfind("__version__", 0) != 0) continue;
    auto open = line.find_first_of("'\""), close = line.find_last_of("'\"");
    if (open < close) return line.substr(open + 1, close - open - 1);
  }
  std::ifstream file(folder + "../build-version");  // the C++ distribution
  return std::getline(file, line) ? line : "unknown";
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const ct_engine *scorefield_engine(void) {
  static const std::string found = found_version();
  static const ct_engine table = {
      .abi_version = CT_ABI_VERSION,
      .torch_built = SCOREFIELD_TORCH_BUILT,
      .torch_found = found.c_str(),
      .last_error = [] { return failure.c_str(); },
      .find = find,
      .call = call,
      .retain = retain,
      .release = release,
      .from_memory = from_memory,
      .copy_out = copy_out,
      .rank = rank,
      .shape = shape,
      .element_type = element_type,
      .device = device,
      .is_unique = is_unique,
      .is_plain = is_plain,
      .grad_enter = grad_enter,
      .jvp_enter = jvp_enter,
      .vmap_enter = vmap_enter,
      .layer_exit = layer_exit,
      .grad_wrap = grad_wrap,
      .layer_unwrap = layer_unwrap,
      .make_dual = make_dual,
      .unpack_dual = unpack_dual,
      .batch_add = batch_add,
      .batch_remove = batch_remove,
      .gradients = gradients,
      .set_recording = set_recording,
      .tape_enter = tape_enter,
      .tape_gradients = tape_gradients,
      .tape_exit = tape_exit,
      .generator_create = generator_create,
      .generator_copy = generator_copy,
      .generator_release = generator_release,
      .generator_state = generator_state,
      .generator_restore = generator_restore,
      .generator_next = generator_next,
      .threads = threads,
      .set_threads = set_threads,
      .device_count = device_count,
      .synchronize = synchronize,
      .group_create = group_create,
      .group_release = group_release,
      .group_reduce = group_reduce,
      .group_broadcast = group_broadcast,
      .group_gather = group_gather,
      .group_barrier = group_barrier,
      .field_create = field_create,
      .field_add = field_add,
      .field_finish = field_finish,
      .field_release = field_release,
      .script_load = script_load,
      .script_release = script_release,
      .script_convert = script_convert,
      .script_call = script_call,
  };
  // Numbers come from double-precision hosts: where nothing else says what integers become, they become float64.
  c10::set_default_dtype(caffe2::TypeMeta::Make<double>());
#if defined(__GLIBC__)
  // glibc gives large blocks back to the kernel at once and faults them in again at the next operation; measured on a
  // small network's training step, that halves the speed.
  static const bool once = [] {
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    return true;
  }();
  (void)once;
#endif
  return &table;
}
