#pragma once
#include <memory>
namespace gloo {
class Context {
 public:
  int getTimeout() const;
  template <class T>
  void setTimeout(T);
};
namespace transport {
class UnboundBuffer;
}
}  // namespace gloo
