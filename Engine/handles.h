// What the parts of the plug share: handles, failures, threads.
#ifndef SCOREFIELD_HANDLES_H
#define SCOREFIELD_HANDLES_H

#include <ATen/ATen.h>

#include <string>

#include "engine.h"

namespace scorefield {

ct_status fail(const char *message);

/// Runs the body; an exception becomes a status and a sentence.
template <class Body>
ct_status guarded(Body &&body) {
  try {
    body();
    return CT_OK;
  } catch (const c10::Error &error) {
    return fail(error.what_without_backtrace());
  } catch (const std::exception &error) {
    return fail(error.what());
  } catch (...) {
    return fail("an exception of unknown type");
  }
}

inline ct_tensor yield(at::Tensor tensor) { return reinterpret_cast<ct_tensor>(tensor.unsafeReleaseTensorImpl()); }

inline c10::TensorImpl *impl(ct_tensor handle) { return reinterpret_cast<c10::TensorImpl *>(handle); }

inline at::Tensor borrow(ct_tensor handle) {
  return at::Tensor(c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::unsafe_reclaim_from_nonowning(impl(handle)));
}

/// While it lives, tensors are made and read as if no layer were entered: memory has no wrapper.
struct BelowLayers {
  c10::impl::ExcludeDispatchKeyGuard guard{c10::DispatchKeySet(
      {c10::DispatchKey::FuncTorchDynamicLayerFrontMode, c10::DispatchKey::FuncTorchDynamicLayerBackMode})};
};

/// Makes this thread use the number of threads that was asked for.
void follow_threads();

/// Whether operations on this thread are recorded in reverse.
bool records();

// The exact field of a data set (field.cpp), as the table has it.
ct_status field_create(const ct_field_options *options, ct_field *out);
ct_status field_add(ct_field field, ct_tensor rows, ct_tensor log_weights, int64_t first);
ct_status field_finish(ct_field field, ct_field_sums *out);
void field_release(ct_field field);
bool is_plain(ct_tensor tensor);

// TorchScript modules (script.cpp).
ct_status script_load(const char *path, const char *device, ct_script *out);
void script_release(ct_script script);
ct_status script_convert(ct_script script, int32_t type);
ct_status script_call(ct_script script, const ct_tensor *inputs, int32_t count, ct_tensor *out);

}  // namespace scorefield
#endif
