#include "batching/prefix_writer.h"

#include <csignal>

#include <new>
#include <system_error>
#include <utility>

#include "base/no_thread.h"

namespace damask::batching {

Result<std::unique_ptr<PrefixWriter>> PrefixWriter::Start(const PrefixDirectory* directory, const PrefixFileShape& shape) {
  std::unique_ptr<PrefixWriter> writer(new PrefixWriter(directory, shape));
  // The thread starts with every signal blocked: those for the process are for others, and a file over the size limit is an
  // error of the write then, not the end of the process.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  Status status;
  try {
    writer->thread_ = std::thread([raw = writer.get()] { raw->Loop(); });
  } catch (const std::system_error& error) {
    status = NoThread(error);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!status.ok()) return status;
  return writer;
}

void PrefixWriter::Push(std::list<PrefixWrite> writes) {
  {
    const std::lock_guard lock(mutex_);
    queue_.splice(queue_.end(), writes);
  }
  changed_.notify_all();
}

std::list<PrefixWrite> PrefixWriter::TakeDone() {
  const std::lock_guard lock(mutex_);
  return std::exchange(done_, {});
}

void PrefixWriter::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stop_ || (queue_.empty() && !busy_); });
}

void PrefixWriter::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  done_.splice(done_.end(), queue_);
}

void PrefixWriter::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || !queue_.empty(); });
    if (stop_) return;
    std::list<PrefixWrite> current;
    current.splice(current.end(), queue_, queue_.begin());
    busy_ = true;
    lock.unlock();
    Write(&current.front());
    lock.lock();
    done_.splice(done_.end(), current);
    busy_ = false;
    changed_.notify_all();
  }
}

void PrefixWriter::Write(PrefixWrite* write) const {
  try {
    for (const std::string& name : write->remove) directory_->Remove(name);
    if (write->replaces) directory_->Remove(write->name);
    write->status = directory_->Write(write->name, write->bytes, write->used,
                                      [&](int fd) { return WritePrefixFile(fd, shape_, &write->head, write->pages); });
  } catch (const std::bad_alloc&) {
    write->status = OutOfMemory("no memory left");  // too short to need memory itself
  }
}

}  // namespace damask::batching
